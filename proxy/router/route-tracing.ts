/** `envoy.config.route.v3.Tracing`: what a route says of how its requests are traced, in place of the connection manager. */
import type { MessageReader } from "#protos/reader.ts";
import type { Tracing } from "#protos/gen/envoy/config/route/v3/route_components_pb.js";
import { fractionOf, type Fraction } from "../config-values.ts";
import { compileFormat } from "../observability/access-log/format.ts";
import type { Format } from "../observability/access-log/types.ts";
import { parseCustomTag, type TagSource } from "../observability/tracing/custom-tags.ts";

export interface RouteTracing {
  /** All, where they are absent: the connection manager's are not asked. */
  readonly clientSampling: Fraction;
  readonly randomSampling: Fraction;
  readonly overallSampling: Fraction;
  /** Before those of the connection manager that have the same name. */
  readonly customTags: readonly TagSource[];
  /** The name of the span, written at its end; undefined: the connection manager's, or the decorator's. */
  readonly operation: Format | undefined;
}

const all: Fraction = { numerator: 100, denominator: 100 };

/** Problems are on the reader's list. */
export function parseRouteTracing(reader: MessageReader<Tracing>): RouteTracing {
  const fraction = (percent: Tracing["clientSampling"]): Fraction =>
    percent === undefined ? all : fractionOf(percent);
  const tracing: RouteTracing = {
    clientSampling: fraction(reader.get("clientSampling")),
    randomSampling: fraction(reader.get("randomSampling")),
    overallSampling: fraction(reader.get("overallSampling")),
    customTags: reader
      .children("customTags")
      .map(parseCustomTag)
      .filter((tag) => tag !== undefined),
    operation: parseOperation(reader.get("operation"), reader.at("operation"), reader.problems),
  };
  reader.ignore(
    "upstreamOperation",
    "names the spans of attempts, which spawn_upstream_span would make: it is refused",
  );
  reader.finish();
  return tracing;
}

/** The format of a span's name; undefined: none is given, or it has problems, which are on the list. */
export function parseOperation(
  text: string,
  path: string,
  problems: MessageReader<Tracing>["problems"],
): Format | undefined {
  if (text === "") return undefined;
  const compiled = compileFormat(text, { path, omitEmptyValues: true });
  problems.push(...compiled.problems);
  return compiled.value;
}
