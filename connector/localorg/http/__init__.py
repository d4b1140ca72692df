"""The HTTP server of the org. `app` takes every request and hands it to the REST resources or to one of the endpoints
beside it: sign-in, SOAP, Bulk API 1.0, CometD, the pages, administration."""
