/** telemetry.istio.io Telemetry and the providers of the mesh, the fields that translation reads. */
import type { Labels } from "../labels.ts";

export type WorkloadMode = "CLIENT" | "SERVER" | "CLIENT_AND_SERVER";

interface ProviderRef {
  readonly name?: string;
}

export interface TelemetrySpec {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: unknown;
  readonly targetRefs?: readonly unknown[];
  readonly tracing?: readonly TracingRule[];
  readonly metrics?: readonly MetricsRule[];
  readonly accessLogging?: readonly AccessLoggingRule[];
}

export interface TracingRule {
  readonly match?: { readonly mode?: WorkloadMode };
  readonly providers?: readonly ProviderRef[];
  readonly randomSamplingPercentage?: number;
  readonly disableSpanReporting?: boolean;
  readonly useRequestIdForTraceSampling?: boolean;
  readonly enableIstioTags?: boolean;
  readonly customTags?: Readonly<Record<string, CustomTag>>;
}

export interface CustomTag {
  readonly literal?: { readonly value?: string };
  readonly environment?: { readonly name?: string; readonly defaultValue?: string };
  readonly header?: { readonly name?: string; readonly defaultValue?: string };
  readonly formatter?: { readonly value?: string };
}

export interface MetricsRule {
  readonly providers?: readonly ProviderRef[];
  readonly reportingInterval?: string;
  readonly overrides?: readonly MetricsOverride[];
}

export interface MetricsOverride {
  readonly match?: { readonly metric?: string; readonly customMetric?: string; readonly mode?: WorkloadMode };
  readonly disabled?: boolean;
  readonly tagOverrides?: Readonly<
    Record<string, { readonly operation?: "UPSERT" | "REMOVE"; readonly value?: string }>
  >;
}

export interface AccessLoggingRule {
  readonly match?: { readonly mode?: WorkloadMode };
  readonly providers?: readonly ProviderRef[];
  readonly disabled?: boolean;
  readonly filter?: { readonly expression?: string };
}

/** MeshConfig.extensionProviders[] */
export interface ExtensionProvider {
  readonly name?: string;
  readonly prometheus?: object;
  readonly zipkin?: ServiceProvider & {
    readonly maxTagLength?: number;
    readonly path?: string;
    readonly enable64bitTraceId?: boolean;
    readonly timeout?: string;
  };
  readonly opentelemetry?: ServiceProvider & {
    readonly maxTagLength?: number;
    readonly http?: HttpExporter;
    readonly grpc?: { readonly timeout?: string; readonly initialMetadata?: readonly ProviderHeader[] };
    readonly resourceDetectors?: { readonly environment?: object; readonly dynatrace?: object };
    readonly dynatraceSampler?: {
      readonly tenant?: string;
      readonly clusterId?: number;
      readonly rootSpansPerMinute?: number;
      readonly httpService?: ServiceProvider & { readonly http?: HttpExporter };
    };
  };
  readonly datadog?: ServiceProvider & { readonly maxTagLength?: number };
  readonly skywalking?: ServiceProvider & { readonly accessToken?: string };
  readonly envoyFileAccessLog?: {
    readonly path?: string;
    readonly logFormat?: { readonly text?: string; readonly labels?: Readonly<Record<string, unknown>> };
    readonly omitEmptyValues?: boolean;
  };
  readonly envoyHttpAls?: GrpcLogProvider;
  readonly envoyTcpAls?: GrpcLogProvider;
  readonly envoyOtelAls?: ServiceProvider & {
    readonly logName?: string;
    readonly logFormat?: { readonly text?: string; readonly labels?: Readonly<Record<string, unknown>> };
  };
}

export interface HttpExporter {
  readonly path?: string;
  readonly timeout?: string;
  readonly headers?: readonly ProviderHeader[];
}

export interface ProviderHeader {
  readonly name?: string;
  readonly value?: string;
}

export interface ServiceProvider {
  /** `[namespace/]host` */
  readonly service?: string;
  readonly port?: number;
}

export interface GrpcLogProvider extends ServiceProvider {
  readonly logName?: string;
  readonly filterStateObjectsToLog?: readonly string[];
  readonly additionalRequestHeadersToLog?: readonly string[];
  readonly additionalResponseHeadersToLog?: readonly string[];
  readonly additionalResponseTrailersToLog?: readonly string[];
}
