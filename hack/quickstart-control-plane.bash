# The part of hack/quickstart for --control-plane, which sources it when the programs are built.
# shellcheck shell=bash disable=SC2154 # dir, node, bin, bold and plain are its variables

say "Start a machine: containerd, a kubelet that runs alone, and seedpodd"
run "$bin/seedpod-rig" packages
# Before $bin is in PATH, where the rig would find the link instead of the program.
kubectl=$("$bin/seedpod-rig" tools kubectl | cut -f 2)
ln -sfn "$kubectl" "$bin/kubectl"
version=$("$("$bin/seedpod-rig" tools kubelet | cut -f 2)" --version)
version=${version#Kubernetes }
export PATH=$bin:$PATH
run seedpod-rig up "$node" --name quickstart --bare --own-network --daemon
run seedpod-rig image "$node" rig.local/{etcd,kube-apiserver,kube-controller-manager,kube-scheduler}:1

# What the rig has chosen. A machine of your own has an address, and its seedpodd the port 10290.
address=$(seedpod-rig status "$node" | awk '$1 == "address" { print $2 }')
listens=$(jq -r .listenAddress "$node/seedpodd/seedpodd/config.yaml")
certificates=$node/seedpodd/seedpodd/pki
[[ -n $address && -n $listens ]] || fail "the node does not tell its address; see seedpod-rig status $node"

say "Tell the command line tool how to reach its seedpodd"
run seedpod config set-context quickstart --endpoint "https://$listens" \
    --ca-file "$certificates/ca.crt" --cert-file "$certificates/admin.crt" --key-file "$certificates/admin.key"
run seedpod config use-context quickstart

say "Describe the cluster"
cat >"$dir/cluster.yaml" <<CLUSTER
apiVersion: seedpod.dev/v1alpha1
kind: ClusterConfiguration
name: quickstart
# Seedpod injects etcd and keeps it; the rest of the control plane moves into the cluster.
level: "1-4"
kubernetesVersion: $version
nodes:
- name: quickstart
  address: $address
  controlPlane: true
  endpoint: https://$listens
seedpod:
  caFile: $certificates/ca.crt
  certFile: $certificates/admin.crt
  keyFile: $certificates/admin.key
# Packed from programs on this machine: nothing is fetched from a registry.
images:
  pullPolicy: Never
  etcd: rig.local/etcd:1
  kubeApiserver: rig.local/kube-apiserver:1
  kubeControllerManager: rig.local/kube-controller-manager:1
  kubeScheduler: rig.local/kube-scheduler:1
CLUSTER
run cat "$dir/cluster.yaml"

say "Bring it up"
run seedpod up -f "$dir/cluster.yaml" --dir "$dir/cluster"

say "A Deployment, which the cluster's own scheduler places"
export KUBECONFIG=$dir/cluster/kubeconfigs/admin.kubeconfig
cat >"$dir/deployment.yaml" <<'DEPLOYMENT'
apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
spec:
  replicas: 1
  selector: {matchLabels: {app: hello}}
  template:
    metadata:
      labels: {app: hello}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: rig.local/busybox:1
        imagePullPolicy: Never
        command: [sh, -c, 'mkdir -p /www && echo "Hello from a cluster that hosts itself." >/www/index.html && exec httpd -f -p 8080 -h /www']
        readinessProbe: {httpGet: {port: 8080, path: /}, periodSeconds: 1}
DEPLOYMENT
run kubectl apply -f "$dir/deployment.yaml"
run kubectl rollout status deployment/hello --timeout=3m
pod=$(kubectl get pods -l app=hello -o 'jsonpath={.items[0].status.podIP}')
run busybox wget -q -O - "http://$pod:8080/"

say "The cluster"
run kubectl get nodes,pods -A

cat <<NEXT

${bold}It works.${plain} What to try next:

  export PATH=$bin:\$PATH KUBECONFIG=$KUBECONFIG SEEDPOD_CONFIG=$dir/client.yaml
  kubectl -n kube-system get pods -o wide
  seedpod handoff status         # what became of the injected control plane
  seedpod get pods               # what is still injected: etcd
  seedpod up -f $dir/cluster.yaml --dir $dir/cluster      # again: all is there, and nothing changes
  seedpod-rig status $node       # what runs, with process ids and paths
  seedpod down -f $dir/cluster.yaml --dir $dir/cluster    # the node is as before, with a kubelet that runs alone
  hack/quickstart --down$([[ $dir == /var/tmp/seedpod ]] || echo " --dir $dir")          # stop and remove all of it
NEXT
