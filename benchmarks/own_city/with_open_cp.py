import sys

import geopandas as gpd
import numpy as np
import open_cp
import open_cp.retrohotspot
import pandas as pd

crimes = pd.read_csv(sys.argv[1]).dropna(subset=["Longitude", "Latitude"])
time = pd.to_datetime(crimes["Date"], format="%m/%d/%Y %I:%M:%S %p").values
squares = gpd.read_file(sys.argv[2])
points = gpd.GeoSeries(gpd.points_from_xy(crimes["Longitude"], crimes["Latitude"]), crs=4326).to_crs(32616)
centres = squares.to_crs(32616).centroid
west, south = (np.floor(centres.x.min()/1000) * 1000, np.floor(centres.y.min()/1000) * 1000)
region = open_cp.RectangularRegion(west, west + 1000*(round((centres.x.max() - west)/1000) + 1), south, south + 1000*(round((centres.y.max() - south)/1000) + 1))
predictor = open_cp.retrohotspot.RetroHotSpotGrid(region=region, grid_size=1000)
predictor.weight = open_cp.retrohotspot.Quartic(bandwidth=1000)
predictor.data = open_cp.TimedPoints.from_coords(time, points.x.values, points.y.values)
next_week = (time.max() + np.timedelta64(1, "D")).astype("datetime64[D]")
begin = next_week - np.timedelta64(56, "D")
risk = predictor.predict(start_time=begin, end_time=next_week)
expected = np.array([risk.grid_risk(int((x - west)//1000), int((y - south)//1000)) for x, y in zip(centres.x, centres.y)])
squares.assign(expected=expected/expected.sum()*(time >= begin).sum()/8).to_file(sys.argv[3])
