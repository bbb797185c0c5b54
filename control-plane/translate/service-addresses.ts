/** The addresses of a service that a proxy can call. */
import type { ScopedService } from "./scope.ts";
import type { View } from "./view.ts";

/** Those of the proxy's families, else what there is; of a Kubernetes Service the first. */
export function addressesFor(view: View, { model, addresses }: ScopedService): readonly string[] {
  const speaksV6 = view.proxy.ipAddresses.some((address) => address.includes(":"));
  const speaksV4 =
    view.proxy.ipAddresses.length === 0 || view.proxy.ipAddresses.some((address) => !address.includes(":"));
  const own = model.clusterAddresses?.get(view.proxy.clusterId) ?? addresses;
  const usable = own.filter((address) => (address.includes(":") ? speaksV6 : speaksV4));
  const called = usable.length === 0 ? own.slice(0, 1) : usable;
  return model.origin === "kubernetes" ? called.slice(0, 1) : called;
}
