"""The SOAP APIs: partner and enterprise rows, and the Metadata API.

`envelope` reads calls and writes answers, `login` signs in, `partner` turns calls on rows into the REST calls that mean
the same, `shapes` turns their answers into elements, `components` is the Metadata API beside its deployments.
"""
