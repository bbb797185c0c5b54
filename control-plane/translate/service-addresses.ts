/** The addresses of a service that a proxy can call. */
import type { ScopedService } from "./scope.ts";
import type { View } from "./view.ts";

/** IPv6 only where the proxy has such an address itself; of a Kubernetes Service its first. */
export function addressesFor(view: View, { model, addresses }: ScopedService): readonly string[] {
  const speaksV6 = view.proxy.ipAddresses.some((address) => address.includes(":"));
  const speaksV4 =
    view.proxy.ipAddresses.length === 0 || view.proxy.ipAddresses.some((address) => !address.includes(":"));
  const own = model.clusterAddresses?.get(view.proxy.clusterId) ?? addresses;
  const usable = own.filter((address) => (address.includes(":") ? speaksV6 : speaksV4));
  return model.origin === "kubernetes" ? usable.slice(0, 1) : usable;
}
