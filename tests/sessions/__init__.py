"""Sessions at a terminal for the docs: played on a real cluster, checked by a test, recorded as they were.

    stage      the cluster, the people and what they start with
    terminal   one command in a terminal, and what is left on its screen
    day        the working day: who does what, and what has to come of it
    recording  what was played, as Markdown, and back

`python -m tests.sessions docs/working-day.md` records the day anew; it is told there which cluster to use.
"""
