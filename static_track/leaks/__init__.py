"""What a bank gives away: how well things that are no language predict its labels.

``traits`` collects what a router sees of each row beside what is said, ``lookup`` predicts labels by one of these at a
time, ``checking`` says how much better that is than to answer always the same.
"""
