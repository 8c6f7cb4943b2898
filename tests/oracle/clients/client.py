"""Tries the Python client on the server of the kubeconfig: each line printed is something that held."""

from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config()
core, apps = client.CoreV1Api(), client.AppsV1Api()
namespace = "python"


def labels_of(name):
    return core.read_namespaced_config_map(name, namespace).metadata.labels


core.create_namespace({"metadata": {"name": namespace}})
print("version", client.VersionApi().get_code().major)
core.create_namespaced_config_map(namespace, client.V1ConfigMap(
    metadata=client.V1ObjectMeta(name="typed", labels={"a": "1"}), data={"k": "v"}))
print("read", core.read_namespaced_config_map("typed", namespace).data)
try:
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "typed"}})
except ApiException as error:
    print("refused", error.status, error.reason)
core.patch_namespaced_config_map("typed", namespace, {"metadata": {"labels": {"b": "2"}}})
print("patched", labels_of("typed"))
print("pages", [len(core.list_namespaced_config_map(namespace, limit=1).items)])

deployment = client.V1Deployment(
    metadata=client.V1ObjectMeta(name="web"),
    spec=client.V1DeploymentSpec(
        selector=client.V1LabelSelector(match_labels={"app": "web"}),
        template=client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(labels={"app": "web"}),
            spec=client.V1PodSpec(containers=[client.V1Container(name="web", image="nginx")]))))
made = apps.create_namespaced_deployment(namespace, deployment)
print("defaulted", made.spec.replicas, made.spec.strategy.rolling_update.max_surge)
print("scale", apps.patch_namespaced_deployment_scale("web", namespace, {"spec": {"replicas": 3}}).spec.replicas)

watcher, seen = watch.Watch(), []
since = core.list_namespaced_config_map(namespace).metadata.resource_version
core.create_namespaced_config_map(namespace, {"metadata": {"name": "watched"}})
core.delete_namespaced_config_map("watched", namespace)
for event in watcher.stream(core.list_namespaced_config_map, namespace, resource_version=since, timeout_seconds=20):
    seen.append((event["type"], event["object"].metadata.name))
    if len(seen) == 2:
        watcher.stop()
print("watched", seen)

everything = dynamic.DynamicClient(client.ApiClient())
maps = everything.resources.get(api_version="v1", kind="ConfigMap")
applied = maps.server_side_apply(
    body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}},
    name="applied", namespace=namespace, field_manager="python")
print("applied", applied.metadata.managedFields[0].manager, applied.metadata.managedFields[0].operation)
try:
    maps.server_side_apply(
        body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "2"}},
        name="applied", namespace=namespace, field_manager="other")
except ApiException as error:
    print("conflict", error.status)
print("dynamic", sorted(item.metadata.name for item in maps.get(namespace=namespace).items))
for event in maps.watch(namespace=namespace, timeout=2):
    print("dynamic watch", event["type"], event["object"].metadata.name)
print("deleted", maps.delete(name="applied", namespace=namespace).status)
print("gone", core.delete_collection_namespaced_config_map(namespace).kind)
