__version__ = "0.1.0"

# name -> module that has it: what there is, loaded when it is used, so that `import crimenb` takes no time
_FACE = {
    "read": "events", "Cleaned": "events", "card": "cities", "fetch": "sources", "datasets": "sources",
    "Sequences": "sequences", "HourlyMaps": "grids", "Panel": "panels", "Terrain": "terrain",
    "forecast": "lab.forecasting", "Model": "models", "load": "models", "backtest": "models", "choose": "models", "catalogue": "models", "Forecast": "forecasts",
    "InputError": "core",
}
_CALLED = {"card": "get"}


def __getattr__(name):
    if name not in _FACE: raise AttributeError(f"module 'crimenb' has no attribute {name!r}")
    from importlib import import_module
    return getattr(import_module(f"crimenb.{_FACE[name]}"), _CALLED.get(name, name))


def __dir__(): return sorted({*globals(), *_FACE})
