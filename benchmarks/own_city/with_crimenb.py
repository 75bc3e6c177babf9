import sys

from crimenb import Panel, catalogue, read
from crimenb.geo import read_polygons

events = read(sys.argv[1]).events.assign(category="crime").astype({"category": "category"})
weeks = Panel.from_events(events, places=read_polygons(sys.argv[2], key="place"))
catalogue(weeks)[sys.argv[4]]().fit(weeks).forecast(weeks).to_file(sys.argv[3])
