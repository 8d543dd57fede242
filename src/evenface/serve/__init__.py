"""The REST service of `evenface serve`; needs the extra `serve`."""
