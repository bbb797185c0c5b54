/** Limits of downstream connections that Envoy takes from its runtime. */

export interface ConnectionLimits {
  /** `envoy.resource_limits.listener.<name>.connection_limit`. */
  readonly connectionLimit: (listenerName: string) => number | undefined;
  /** `overload.global_downstream_max_connections`. */
  readonly globalConnectionLimit: number | undefined;
}

/** Reads static runtime layers; a later one comes before an earlier one. Keys may be written with dots or as nested structs. */
export function connectionLimits(layers: readonly Readonly<Record<string, unknown>>[]): ConnectionLimits {
  const values = new Map<string, number>();
  for (const layer of layers) flatten(layer, "", values);
  return {
    connectionLimit: (name) => values.get(`envoy.resource_limits.listener.${name}.connection_limit`),
    globalConnectionLimit: values.get("overload.global_downstream_max_connections"),
  };
}

function flatten(struct: object, prefix: string, values: Map<string, number>): void {
  for (const [key, value] of Object.entries(struct)) {
    const name = prefix + key;
    if (typeof value === "object" && value !== null) flatten(value, `${name}.`, values);
    else if (typeof value === "number" || (typeof value === "string" && /^\d+$/.test(value)))
      values.set(name, Number(value));
  }
}
