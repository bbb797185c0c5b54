/** `istio.stats` for TCP: counts a connection while it lives and when it ends. */
import type { Timer, TimerWheel } from "#lib/runtime.ts";
import type {
  ConnectionFilter,
  DownstreamConnection,
  NetworkFilterContext,
  NetworkFilterFactory,
} from "../../network/filter.ts";
import type { StreamInfo } from "../../stream-info.ts";
import type { Counter } from "../stats.ts";
import { peerFromNodeMetadata } from "../peer.ts";
import { formatResponseFlags } from "../response-flags.ts";
import { ISTIO_STATS_TYPE_URL, parseIstioStats, type IstioStatsConfig } from "./config.ts";
import { reporterOf } from "./http-filter.ts";
import { standardLabels } from "./labels.ts";
import { partiesOf, type PartySettings } from "./parties.ts";
import { counterMetric, type Metric } from "./series.ts";

export const istioStatsTcp: NetworkFilterFactory<IstioStatsConfig> = {
  name: "istio.stats",
  typeUrls: [ISTIO_STATS_TYPE_URL],
  isTerminal: false,
  parse: parseIstioStats,
  create(config, context) {
    const reporting = reportingOf(config, context);
    return (downstream) => new TcpStats(downstream, reporting);
  },
};

interface Reporting {
  readonly settings: PartySettings;
  readonly intervalMs: number;
  readonly wheel: TimerWheel;
  readonly opened: Metric<Counter>;
  readonly closed: Metric<Counter>;
  readonly sent: Metric<Counter>;
  readonly received: Metric<Counter>;
}

function reportingOf(config: IstioStatsConfig, context: NetworkFilterContext): Reporting {
  const scope = context.rootScope.scope("istiocustom");
  return {
    settings: {
      reporter: reporterOf(context.trafficDirection, config.isServerGateway),
      local: peerFromNodeMetadata(context.node.metadata),
      useHostHeader: false,
    },
    intervalMs: config.tcpReportingMs,
    wheel: context.runtime.clock.wheel,
    opened: counterMetric(scope, "tcp_connections_opened_total", config),
    closed: counterMetric(scope, "tcp_connections_closed_total", config),
    sent: counterMetric(scope, "tcp_sent_bytes_total", config),
    received: counterMetric(scope, "tcp_received_bytes_total", config),
  };
}

class TcpStats implements ConnectionFilter {
  readonly #info: StreamInfo;
  readonly #reporting: Reporting;
  #timer: Timer | undefined = undefined;
  #isOpened = false;
  #sent = 0;
  #received = 0;

  constructor(downstream: DownstreamConnection, reporting: Reporting) {
    this.#info = downstream.info;
    this.#reporting = reporting;
  }

  onNewConnection(): "continue" {
    this.#arm();
    return "continue";
  }

  onClose(): void {
    this.#timer?.cancel();
    this.#report(true);
  }

  #arm(): void {
    this.#timer = this.#reporting.wheel.schedule(this.#reporting.intervalMs, () => {
      this.#report(false);
      this.#arm();
    });
  }

  /** Labels are made anew each time: flags, peers and certificates come while the connection lives. */
  #report(isEnd: boolean): void {
    const { opened, closed, sent, received, settings } = this.#reporting;
    const info = this.#info;
    // Before the upstream is known there is nothing to attribute bytes to.
    if (!isEnd && info.cluster === undefined) return;
    const context = { info };
    const standard = standardLabels(partiesOf(info, "", settings), {
      protocol: "tcp",
      responseFlags: formatResponseFlags(info.flags),
    });
    if (!this.#isOpened) {
      this.#isOpened = true;
      opened.resolve(standard, context)?.inc();
    }
    sent.resolve(standard, context)?.add(info.bytesSent - this.#sent);
    received.resolve(standard, context)?.add(info.bytesReceived - this.#received);
    this.#sent = info.bytesSent;
    this.#received = info.bytesReceived;
    if (isEnd) closed.resolve(standard, context)?.inc();
  }
}
