"""Kubernetes manifests against the published schemas of a cluster's API, unknown keys refused: `kubernetes.py FILE…`."""

import sys

import kubernetes_validate
import yaml

# The oldest version that is supported upstream, and a current one: fields of the manifests are in both.
VERSIONS = ["1.33", "1.36"]


def main():
    failed = 0
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            documents = list(yaml.safe_load_all(file))
        for document in documents:
            for version in VERSIONS:
                what = f"{path}: {document['kind']} of Kubernetes {version}"
                try:
                    kubernetes_validate.validate(document, version, strict=True)
                    print(f"ok -- {what}")
                except (kubernetes_validate.ValidationError, kubernetes_validate.InvalidSchemaError) as error:
                    failed += 1
                    print(f"FAILED -- {what}: {error}")
    return 1 if failed or len(sys.argv) < 2 else 0


if __name__ == "__main__":
    raise SystemExit(main())
