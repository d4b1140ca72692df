"""Deployed metadata: read from SFDX source or from a zip, checked, and effective from then on.

`xml` reads files with line numbers, `component` and `archive` find the components in them, `installer` checks and
installs each, `deployed` holds the state, `deployments` runs a deployment, `field_security` applies permission sets.
"""
