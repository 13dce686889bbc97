"""What components there are, a file for each family: their names, their experiments, their mistakes."""
