"""Label leaks of a bank: how well features other than the text predict its labels.

``traits`` collects the features of each row besides its text, ``lookup`` predicts labels from one feature at a time,
and ``checking`` measures how much better that is than always predicting the largest class.
"""
