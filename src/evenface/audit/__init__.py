"""What is wrong with a data set: twins, doubtful labels, broken and odd pictures, people on both sides of a split.

    from evenface.audit.run import audit
    found = audit(load_dataset("folder", "faces"), "checked")
    found.counts["duplicates"]                   # {"train": 12, "test": 11}; checked/verdicts.csv and checked/audit.html say which

`run.py` puts all in order. A check is a function from what the passes over the pictures found to a list of `Finding` (`finding.py`):

    unreadable, tiny, blank      pictures.py            from one look at every picture, scan.py
    duplicates                   duplicates.py          from the same
    near-duplicates              near_duplicates.py     from the candidates that hashing.py finds in the same
    subjects, votes, left-out    facts.py               from what the set says itself
    no-face, alignment           faces.py               from a detector's search, search.py
    labels                       labels.py              from a network's features, features.py; judged by folds.py, decided by judge.py

`rows.py` is what is looked at; `parts.py` and `saved.py` keep what is finished, `writing.py` writes the verdicts and the page.
"""
