"""The SOAP APIs: partner, enterprise and Metadata API.

`envelope` parses calls and renders responses, `login` signs in, `partner` maps calls on rows to the equivalent REST
calls, `serializers` renders their results, `deployments` and `components` are the Metadata API.
"""
