import sys

import geopandas as gpd
import pandas as pd
from predspot import Dataset, PredictionPipeline
from predspot.crime_mapping import QuadratCount
from predspot.feature_engineering import Diff, Seasonality, Trend
from predspot.ml_modelling import Model
from predspot.utilities import PandasFeatureUnion
from sklearn.ensemble import RandomForestRegressor

events, squares, weeks, out = sys.argv[1:]
names = {"Date": "t", "Primary Type": "tag", "Longitude": "lon", "Latitude": "lat"}
crimes = pd.read_csv(events).rename(columns=names).dropna(subset=["lon", "lat"])
crimes["t"] = pd.to_datetime(crimes["t"], format="%m/%d/%Y %I:%M:%S %p")
cells = gpd.read_file(squares).rename_axis("places")
found = []
for week in pd.date_range(*weeks.split("/"), freq="W-MON"):
    pipeline = PredictionPipeline(
        mapping=QuadratCount(tfreq="W", grid=cells),
        fextraction=PandasFeatureUnion([("seasonal", Seasonality(lags=4, tfreq="W")), ("trend", Trend(lags=4, tfreq="W")),
                                        ("diff", Diff(lags=4, tfreq="W"))]),
        estimator=Model(RandomForestRegressor(random_state=0)), random_state=0)
    pipeline.fit(Dataset(crimes[crimes["t"] < week], cells))
    expected = pipeline.predict()["crime_density"].droplevel("t")
    found.append(pd.DataFrame({"period": week, "place": cells["place"], "expected": expected}))
pd.concat(found).to_csv(out, index=False)
