"""Jobs worked on side by side: what every executor promises, in threads over places and in processes of their own."""
