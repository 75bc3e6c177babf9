import sys

import geopandas as gpd
import pandas as pd
from predspot import Dataset, PredictionPipeline
from predspot.crime_mapping import QuadratCount
from predspot.feature_engineering import Diff, Seasonality, Trend
from predspot.ml_modelling import Model
from predspot.utilities import PandasFeatureUnion
from sklearn.ensemble import RandomForestRegressor

crimes = pd.read_csv(sys.argv[1]).rename(columns={"Date": "t", "Primary Type": "tag", "Longitude": "lon", "Latitude": "lat"})
crimes = crimes.dropna(subset=["lon", "lat"])
crimes["t"] = pd.to_datetime(crimes["t"], format="%m/%d/%Y %I:%M:%S %p")
squares = gpd.read_file(sys.argv[2]).rename_axis("places")
pipeline = PredictionPipeline(
    mapping=QuadratCount(tfreq="W", grid=squares),
    fextraction=PandasFeatureUnion([("seasonal", Seasonality(lags=4, tfreq="W")), ("trend", Trend(lags=4, tfreq="W")), ("diff", Diff(lags=4, tfreq="W"))]),
    estimator=Model(RandomForestRegressor(random_state=0)), random_state=0)
pipeline.fit(Dataset(crimes, squares))
expected = pipeline.predict()["crime_density"].droplevel("t")
squares.assign(expected=expected).to_file(sys.argv[3])
