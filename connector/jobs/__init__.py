"""What can be run now or by the clock."""
