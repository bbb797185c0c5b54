/** The environment of an application: what Kubernetes gives a container, and the way out through the sidecar. Pure. */
import type { InstanceAddresses } from "./addresses.ts";
import type { PlannedInstance } from "./planned.ts";

/**
 * `PORT` (and `PORT_<containerPort>`, `PORTS`) is where the application listens, on `HOST`; `HTTP_PROXY` is the sidecar;
 * `<SERVICE>_SERVICE_HOST` and `_PORT` are the Services, served by the sidecar (Kubernetes' own convention).
 */
export function appEnvironment(
  instance: PlannedInstance,
  addresses: InstanceAddresses,
): Readonly<Record<string, string>> {
  const { placement } = addresses;
  const env: Record<string, string> = {
    HOST: "127.0.0.1",
    WORKLOAD: instance.workload,
    POD_NAME: instance.pod,
    POD_NAMESPACE: instance.namespace,
    POD_IP: addresses.ip,
    SERVICE_ACCOUNT: instance.serviceAccount,
  };
  const apps = placement.inbound.map((inbound) => inbound.app.port);
  if (apps[0] !== undefined) {
    env["PORT"] = String(apps[0]);
    env["PORTS"] = apps.join(",");
  }
  for (const inbound of placement.inbound) env[`PORT_${inbound.port}`] = String(inbound.app.port);
  if (instance.hasSidecar) {
    const proxy = `http://${placement.httpProxy.address}:${placement.httpProxy.port}`;
    env["HTTP_PROXY"] = proxy;
    env["http_proxy"] = proxy;
    env["NO_PROXY"] = "127.0.0.1,localhost";
    for (const { host, port, bind } of placement.outbound) {
      const name = (host.split(".")[0] ?? host).toUpperCase().replace(/[^A-Z0-9]/g, "_");
      env[`${name}_SERVICE_HOST`] ??= bind.address;
      env[`${name}_SERVICE_PORT`] ??= String(bind.port);
      env[`${name}_PORT_${port}_TCP`] = `tcp://${bind.address}:${bind.port}`;
    }
  }
  return { ...env, ...instance.env, ...instance.local?.env };
}
