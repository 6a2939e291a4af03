#!/bin/sh
# Print the first Python that is 3.11 or newer and can make virtual environments; print nothing without one.
for candidate in python3 python python3.13 python3.12 python3.11 python3.14; do
    if "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        echo "$candidate"
        exit 0
    fi
done
