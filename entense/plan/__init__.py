"""From recipes to a program: survey the inputs, rewrite the graph, fuse it into stages."""
