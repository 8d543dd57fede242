"""Many runs from one recipe: planned, trained side by side, scored on one split, put into one table.

    recipe = read_recipe("recipes/rivals-tiny.yaml")
    runs = plan(recipe)
    failed = run_locally(runs, Task(recipe.scoring), jobs=2)
    result = collect(recipe, runs)

A run's folder is named by its settings, so a study that was stopped goes on where it was, and a changed setting is a new run.
"""

from __future__ import annotations

from evenface.evaluation.records import Scoring as Scoring
from evenface.study.local import run_locally as run_locally
from evenface.study.plan import Run as Run
from evenface.study.plan import plan as plan
from evenface.study.recipe import Point as Point
from evenface.study.recipe import Recipe as Recipe
from evenface.study.recipe import read_recipe as read_recipe
from evenface.study.result import StudyResult as StudyResult
from evenface.study.result import StudyTable as StudyTable
from evenface.study.result import collect as collect
from evenface.study.state import State as State
from evenface.study.state import state_of as state_of
from evenface.study.work import Task as Task
from evenface.study.work import work as work


__all__ = [
    "Point",
    "Recipe",
    "Run",
    "Scoring",
    "State",
    "StudyResult",
    "StudyTable",
    "Task",
    "collect",
    "plan",
    "read_recipe",
    "run_locally",
    "state_of",
    "work",
]
