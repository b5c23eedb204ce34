"""What scores mean: explanations, differences, curves, figures, pages."""
