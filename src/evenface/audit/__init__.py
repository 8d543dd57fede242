"""What is wrong with a data set: twins, doubtful labels, broken and odd pictures, people on both sides of a split.

    from evenface.audit.run import audit
    found = audit(load_dataset("folder", "faces"), "checked")
    found.counts["duplicates"]                   # {"train": 12, "test": 11}; checked/verdicts.csv and checked/audit.html say which

A check per file, each a function from what the passes over the pictures found to a list of `Finding`; `run.py` puts them in order.
"""
