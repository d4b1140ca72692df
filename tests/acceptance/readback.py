"""What is in the org, by simple-salesforce alone: nothing of the connector is imported here."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

HOST = "https://org.my.salesforce.com"  # simple-salesforce speaks https to salesforce.com only


LIFE = "Lifecycle_Stage__c, Fulfillment_Status__c, Payment_Status__c, Shipped_Date__c, Carrier__c, Amount_Due__c"


class ToLoopback(HTTPAdapter):
    """Sends what was meant for that host to the local org."""

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:  # type: ignore[override]
        request.url = str(request.url).replace(HOST, os.environ["ORG_URL"], 1)
        return super().send(request, **{**options, "timeout": 60})


def found() -> dict[str, Any]:
    session = requests.Session()
    session.mount(HOST, ToLoopback())
    org = Salesforce(session_id=os.environ["ORG_TOKEN"], instance="org.my.salesforce.com", session=session)
    orders = org.query_all(f"SELECT External_Key__c, Status, Exact_Total__c, TotalAmount, {LIFE} FROM Order")["records"]
    lines = org.query_all("SELECT External_Key__c, Quantity, Shipped_Quantity__c FROM OrderItem")["records"]
    return {
        "counts": {
            name: org.query(f"SELECT COUNT() FROM {name}")["totalSize"]
            for name in ("Account", "Product2", "Order", "OrderItem")
        },
        "statuses": dict(Counter(row["Status"] for row in orders)),
        "twice": [
            key for key, count in Counter(row["External_Key__c"] for row in [*orders, *lines]).items() if count > 1
        ],
        "totals": {row["External_Key__c"]: str(row["Exact_Total__c"]) for row in orders},
        "lives": {row["External_Key__c"]: [row[name] for name in LIFE.split(", ")] for row in orders},
        "to_ship": [row["External_Key__c"] for row in lines if row["Shipped_Quantity__c"] != row["Quantity"]],
        "total_amounts": {row["External_Key__c"]: str(row["TotalAmount"]) for row in orders},
    }


if __name__ == "__main__":
    print(json.dumps(found()))
