#!/usr/bin/env bash
# Gives the Go module an address, in the work tree that it is started in:
#
#   deploy/module.sh github.com/you/tidegate
#
# It changes go.mod and every import of the module's own packages, and nothing else.
set -euo pipefail
new=${1:?usage: deploy/module.sh ADDRESS, such as github.com/you/tidegate}
cd "$(dirname "$0")/.."
old=$(go list -m)

go mod edit -module "$new"
OLD=$old NEW=$new find . -name '*.go' -not -path '*/node_modules/*' \
	-exec perl -pi -e 's{^((?:import\s+|\s+)(?:[\w.]+\s+)?")\Q$ENV{OLD}\E(/[\w/]+")}{$1$ENV{NEW}$2}' {} +
gofmt -w .
