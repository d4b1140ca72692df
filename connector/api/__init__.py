"""The wire: request schemas and serializers, shared by the web application and the command line."""
