#!/usr/bin/env python3
"""Reads the metrics of a running server as Prometheus does, in both formats: scripts/check-metrics.py URL

Fails if a format is malformed, if a metric lacks its description, or if the two differ in their metrics. Needs the
package prometheus-client.
"""

import sys
import urllib.request

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics

# What Prometheus 3 sends.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;q=0.4,text/plain;version=0.0.4;q=0.3,"
    "*/*;q=0.2"
)


def read(url, accept):
    """Returns the content type and the text."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.headers["Content-Type"], response.read().decode()


def series(families):
    """Returns the labels of each sample by its name, and fails if one is there twice."""
    found = [(one.name, *sorted(one.labels.items())) for family in families for one in family.samples]
    assert len(found) == len(set(found)), "a sample is there twice"
    return set(found)


def main(url):
    content_type, text = read(url, PROMETHEUS)
    assert content_type.startswith("application/openmetrics-text; version=1.0.0"), content_type
    families = list(openmetrics.text_string_to_metric_families(text))
    content_type, text = read(url, "text/plain")
    assert content_type.startswith("text/plain; version=0.0.4"), content_type
    classic = list(parser.text_string_to_metric_families(text))
    for family in families + classic:
        assert family.documentation and family.type != "unknown", family.name
        assert family.name.startswith(("mintage_", "process_")), family.name
    # A request may have been counted between the two.
    different = {name for name, *_ in series(families) ^ series(classic)}
    assert not {name for name in different if not name.startswith("mintage_http_")}, different
    names = {family.name for family in families}
    assert {"mintage_build_info", "mintage_http_requests", "process_cpu_seconds"} <= names, names
    print(f"{len(families)} metrics are valid in both formats")


if __name__ == "__main__":
    main(sys.argv[1])
