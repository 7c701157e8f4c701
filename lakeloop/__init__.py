"""The pure core of Lakeloop: values in, values out.

Nothing here knows Dagster, the environment, the clock or the network; those arrive as arguments. The one exception is the
command line (`lakeloop.cli` and what it starts), which may import everything.
"""
