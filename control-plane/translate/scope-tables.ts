/** Services by name, for a scope. */
import type { ScopedService } from "./scope.ts";

export interface ScopeTables {
  readonly servicesByHost: ReadonlyMap<string, ScopedService>;
  /** The service that a host stands for: itself, or the target of an ExternalName. */
  readonly byAnyName: ReadonlyMap<string, ScopedService>;
}

export function tablesOf(services: readonly ScopedService[]): ScopeTables {
  const servicesByHost = new Map(services.map((service) => [service.host, service]));
  const byAnyName = new Map(services.flatMap((service) => service.aliases.map((alias) => [alias, service] as const)));
  for (const [host, service] of servicesByHost) byAnyName.set(host, service);
  return { servicesByHost, byAnyName };
}
