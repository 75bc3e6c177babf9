import sys

import geopandas as gpd
import pandas as pd
from predspot import Dataset
from predspot.pipeline import build_default_pipeline

events, squares, weeks, out = sys.argv[1:]
names = {"Date": "t", "Primary Type": "tag", "Longitude": "lon", "Latitude": "lat"}
crimes = pd.read_csv(events).rename(columns=names).dropna(subset=["lon", "lat"])
crimes["t"] = pd.to_datetime(crimes["t"], format="%m/%d/%Y %I:%M:%S %p")
cells = gpd.read_file(squares)
points = gpd.GeoDataFrame(cells, geometry=gpd.points_from_xy(cells["lon"], cells["lat"]), crs=4326).rename_axis("places")
found = []
for week in pd.date_range(*weeks.split("/"), freq="W-MON"):
    pipeline = build_default_pipeline(cells, tfreq="W", grid_resolution=1, random_state=0)
    pipeline.mapping._grid = points
    pipeline.fit(Dataset(crimes[crimes["t"] < week], cells))
    density = pipeline.predict()["crime_density"].droplevel("t")
    last = ((crimes["t"] < week) & (crimes["t"] >= week - pd.Timedelta(days=7))).sum()
    found.append(pd.DataFrame({"period": week, "place": cells["place"], "expected": density/density.sum()*last}))
pd.concat(found).to_csv(out, index=False)
