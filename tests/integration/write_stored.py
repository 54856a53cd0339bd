"""Keeps what the present code writes as that of a release, which is the argument."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import boto3
from moto import mock_aws

from tests.integration.conftest import TABLE, table_settings
from tests.integration.written import written
from tests.template.stack import REGION


def main(release: str) -> None:
    """Write one file for each shape into the release's folder."""
    folder = Path(__file__).with_name("stored") / release
    folder.mkdir()
    os.environ |= {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
    os.environ |= {"AWS_DEFAULT_REGION": REGION, "AWS_REGION": REGION}
    with mock_aws():
        boto3.client("dynamodb").create_table(TableName=TABLE, **table_settings())
        for shape, values in written(TABLE).items():
            content = values if len(values) > 1 else values[0]
            text = json.dumps(content, indent=2, ensure_ascii=False, sort_keys=True)
            (folder / f"{shape.lower()}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
