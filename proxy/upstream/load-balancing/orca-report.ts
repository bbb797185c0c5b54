/** Load reports that endpoints add to their responses: `xds.data.orca.v3.OrcaLoadReport` as text, JSON or bytes. */
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { HeaderMap } from "../../http/header-map.ts";

export interface OrcaReport {
  readonly cpuUtilization: number;
  readonly memUtilization: number;
  readonly applicationUtilization: number;
  /** Requests a second. */
  readonly rps: number;
  /** Errors a second. */
  readonly eps: number;
  /** `named_metrics.x`, `utilization.x`, `request_cost.x`. */
  readonly named: ReadonlyMap<string, number>;
}

const scalars: Readonly<Record<string, keyof Omit<OrcaReport, "named">>> = {
  cpu_utilization: "cpuUtilization",
  mem_utilization: "memUtilization",
  application_utilization: "applicationUtilization",
  rps_fractional: "rps",
  eps: "eps",
};
const maps = ["named_metrics", "utilization", "request_cost"];

/** undefined: the headers hold none, or one that can't be read. */
export function orcaReportOf(headers: HeaderMap): OrcaReport | undefined {
  const binary = headers.get("endpoint-load-metrics-bin");
  if (binary !== undefined) return fromBytes(binary);
  const value = headers.get("endpoint-load-metrics");
  if (value === undefined) return undefined;
  const space = value.indexOf(" ");
  const rest = value.slice(space + 1);
  switch (value.slice(0, space)) {
    case "TEXT":
      return fromText(rest);
    case "JSON":
      return fromJson(rest);
    case "BIN":
      return fromBytes(rest);
    default:
      return undefined;
  }
}

type Pairs = readonly (readonly [name: string, value: number])[];

/** Names as in text: `eps`, `named_metrics.x`. One that is not known, or a value that is no number, spoils the report. */
function reportOf(pairs: Pairs): OrcaReport | undefined {
  const report = { cpuUtilization: 0, memUtilization: 0, applicationUtilization: 0, rps: 0, eps: 0 };
  const named = new Map<string, number>();
  for (const [name, value] of pairs) {
    if (!Number.isFinite(value)) return undefined;
    const field = Object.hasOwn(scalars, name) ? scalars[name] : undefined;
    if (field !== undefined) report[field] = value;
    else if (maps.some((map) => name.startsWith(`${map}.`))) named.set(name, value);
    else return undefined;
  }
  return { ...report, named };
}

function fromText(text: string): OrcaReport | undefined {
  return reportOf(
    text.split(",").map((pair) => {
      const [name = "", value = "", ...more] = pair.split("=");
      return [name.trim(), more.length > 0 || value.trim() === "" ? Number.NaN : Number(value)] as const;
    }),
  );
}

function fromJson(text: string): OrcaReport | undefined {
  try {
    const json = JSON.parse(text) as unknown;
    if (typeof json !== "object" || json === null) return undefined;
    return reportOf(
      Object.entries(json).flatMap(([name, value]): Pairs =>
        maps.includes(name) && typeof value === "object" && value !== null
          ? Object.entries(value).map(([key, one]) => [`${name}.${key}`, Number(one)] as const)
          : [[name, Number(value)]],
      ),
    );
  } catch {
    return undefined;
  }
}

const bytesFields: Readonly<Record<number, string>> = {
  1: "cpu_utilization",
  2: "mem_utilization",
  4: "request_cost",
  5: "utilization",
  6: "rps_fractional",
  7: "eps",
  8: "named_metrics",
  9: "application_utilization",
};

function fromBytes(base64: string): OrcaReport | undefined {
  const pairs: [string, number][] = [];
  try {
    const reader = new BinaryReader(Buffer.from(base64, "base64"));
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      const name = bytesFields[field];
      if (name === undefined) reader.skip(wireType);
      else if (maps.includes(name)) {
        const [key, value] = mapEntry(reader.bytes());
        pairs.push([`${name}.${key}`, value]);
      } else pairs.push([name, reader.double()]);
    }
  } catch {
    return undefined;
  }
  return reportOf(pairs);
}

function mapEntry(bytes: Uint8Array): readonly [string, number] {
  const reader = new BinaryReader(bytes);
  let [key, value] = ["", 0];
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) key = reader.string();
    else if (field === 2) value = reader.double();
    else reader.skip(wireType);
  }
  return [key, value];
}
