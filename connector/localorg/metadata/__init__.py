"""What was deployed to the org: read from SFDX source or from a zip, checked, and in force from then on.

`xml` reads files with their lines, `source` and `archive` find the components in them, `components` says what each kind
must be and does, `deploy` is the life of a deployment, `access` what permission sets let the running user see.
"""
