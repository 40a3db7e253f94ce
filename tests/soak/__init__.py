"""The whole pipeline under fire: a day of traffic while every process and both servers are killed, frozen and restarted at random.

`make soak` runs it for minutes, `tests/system/test_soak.py` for seconds. What was done is drawn from a seed, which is printed.
"""
