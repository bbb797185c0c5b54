/** `Cluster.DnsLookupFamily` by number. */
import type { DnsConfig } from "./cluster-config.ts";

export const families: readonly DnsConfig["family"][] = ["auto", "v4-only", "v6-only", "v4-preferred", "all"];
