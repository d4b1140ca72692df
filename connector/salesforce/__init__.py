"""The org seen from outside: how it is reached, what it answers, what its errors mean. Knows nothing of orders."""
