import sys

import geopandas as gpd
import pandas as pd
from predspot.pipeline import run_prediction_pipeline

crimes = pd.read_csv(sys.argv[1]).rename(columns={"Date": "t", "Primary Type": "tag", "Longitude": "lon", "Latitude": "lat"})
crimes = crimes.dropna(subset=["lon", "lat"])
crimes["t"] = pd.to_datetime(crimes["t"], format="%m/%d/%Y %I:%M:%S %p")
squares = gpd.read_file(sys.argv[2])
density, pipeline = run_prediction_pipeline(crimes, squares, tfreq="W", grid_resolution=1, random_state=0)
points = pipeline.grid.assign(expected=density["crime_density"].droplevel("t"))
last = (crimes["t"] >= crimes["t"].max().normalize() - pd.Timedelta(days=6)).sum()
found = squares.sjoin_nearest(points[["geometry", "expected"]].to_crs(32616).to_crs(4326), how="left").groupby("place")["expected"].mean()
expected = squares["place"].map(found)
squares.assign(expected=expected/expected.sum()*last).to_file(sys.argv[3])
