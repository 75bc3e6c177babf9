import sys

import geopandas as gpd
import lightgbm
import pandas as pd
from mlforecast import MLForecast
from mlforecast.lag_transforms import ExpandingMean, RollingMean

crimes = pd.read_csv(sys.argv[1]).dropna(subset=["Longitude", "Latitude"])
day = pd.to_datetime(crimes["Date"], format="%m/%d/%Y %I:%M:%S %p")
crimes["ds"] = day.dt.normalize() - pd.to_timedelta(day.dt.dayofweek, "D")
squares = gpd.read_file(sys.argv[2])
points = gpd.GeoDataFrame(crimes[["ds"]], geometry=gpd.points_from_xy(crimes["Longitude"], crimes["Latitude"]), crs=4326)
counts = points.sjoin(squares[["place", "geometry"]], predicate="within").groupby(["place", "ds"]).size()
weeks = pd.date_range(crimes["ds"].min(), crimes["ds"].max(), freq="W-MON")
series = counts.reindex(pd.MultiIndex.from_product([squares["place"], weeks], names=["unique_id", "ds"]), fill_value=0).rename("y").reset_index()
forecaster = MLForecast(models=lightgbm.LGBMRegressor(objective="poisson", random_state=0, verbose=-1, n_jobs=1), freq="W-MON", lags=[1, 2, 3, 4],
                        lag_transforms={1: [RollingMean(4), RollingMean(8, min_samples=1), ExpandingMean()]})
expected = forecaster.fit(series).predict(1).set_index("unique_id")["LGBMRegressor"]
squares.assign(expected=squares["place"].map(expected)).to_file(sys.argv[3])
