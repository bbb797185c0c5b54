/** Hosts and host sets for tests. */
import type { Random } from "#lib/runtime.ts";
import { UpstreamHost, type HostAttributes } from "../host.ts";

/** A host from `ip:port`; attributes as given. */
export function hostAt(text: string, attributes: Partial<HostAttributes> = {}): UpstreamHost {
  const colon = text.lastIndexOf(":");
  const address = { kind: "ip", address: text.slice(0, colon), port: Number(text.slice(colon + 1)) } as const;
  const defaults: HostAttributes = {
    hostname: "",
    weight: 1,
    locality: { region: "", zone: "", subZone: "" },
    priority: 0,
    metadata: {},
    health: "unknown",
  };
  return new UpstreamHost(address, { ...defaults, ...attributes }, 0);
}

/** Chance that gives the numbers of a list, again and again. */
export function scriptedRandom(values: readonly number[]): Random {
  let next = 0;
  const value = (): number => values[next++ % values.length] as number;
  return {
    float: () => value() / 2 ** 32,
    uint32: value,
    uint64: () => BigInt(value()),
    uuid: () => "00000000-0000-4000-8000-000000000000",
    bytes: (length) => new Uint8Array(length),
  };
}
