"""The pure core of Lakeloop: values in, values out.

Nothing here uses Dagster, the environment, the clock or the network; their values arrive as arguments. The one exception is the command line
(`lakeloop.cli`), which may import everything.
"""
