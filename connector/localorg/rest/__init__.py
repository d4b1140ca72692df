"""The REST resources of the org. Each takes an `ApiCall` and returns an `ApiResponse`; none knows HTTP."""
