"""Many pictures and films in one go: what to look at (`inputs`), going through it (`pictures`, `film`, `shards`), and what comes out
(`writers`, `drawing`). The command `evenface predict` is a thin shell around it."""
