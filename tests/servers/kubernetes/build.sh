#!/usr/bin/env bash
# Builds etcd, kube-apiserver, kube-controller-manager and kubectl from Go modules into the folder given as $1.
# Called by tests/run when neither KUBEBUILDER_ASSETS nor PATH has them. Needs Go 1.26+; about 5 minutes on 2 cores.
set -euo pipefail
out=$1
cd "$(dirname "$0")"
mkdir -p "$out"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=$(echo "$version" | cut -d. -f2)
ld="-s -w"
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  ld="$ld -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
done
for target in go.etcd.io/etcd/server/v3:etcd k8s.io/kubernetes/cmd/kube-apiserver:kube-apiserver \
  k8s.io/kubernetes/cmd/kube-controller-manager:kube-controller-manager k8s.io/kubernetes/cmd/kubectl:kubectl; do
  package=${target%:*} name=${target##*:}
  echo "building $name from $package ($version)"
  CGO_ENABLED=0 go build -mod=readonly -trimpath -ldflags "$ld" -o "$out/$name.partial" "$package"
  mv "$out/$name.partial" "$out/$name"
done
