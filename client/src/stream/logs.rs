//! Reading and following logs.

mod delivered;

use std::time::{Duration, Instant, SystemTime};

use seedpod_proto::v1;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use self::delivered::Delivered;
use super::Call;
use crate::{LogLine, client::injection};

/// Whose lines to get, and which. By default: all that are there, of all containers, merged by time.
#[derive(Debug, Clone)]
pub struct LogOptions {
    name: String,
    namespace: String,
    container: String,
    follow: bool,
    tail_lines: Option<i64>,
    since: Since,
    previous: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    Beginning,
    Time(SystemTime),
    Ago(Duration),
}

impl LogOptions {
    /// The lines of a pod, named as in the manifest or as the kubelet calls it.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            namespace: String::new(),
            container: String::new(),
            follow: false,
            tail_lines: None,
            since: Since::Beginning,
            previous: false,
        }
    }

    /// The pod's namespace. Default: `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Only the lines of this container; init containers are containers too.
    pub fn container(mut self, container: impl Into<String>) -> Self {
        self.container = container.into();
        self
    }

    /// Go on with what is written from now on, also by containers that are started later, until the pod is gone.
    pub fn follow(mut self, follow: bool) -> Self {
        self.follow = follow;
        self
    }

    /// Only the last so many lines of each container.
    pub fn tail_lines(mut self, lines: u32) -> Self {
        self.tail_lines = Some(lines.into());
        self
    }

    /// Only lines that were written at or after this time, by the node's clock.
    pub fn since_time(mut self, time: SystemTime) -> Self {
        self.since = Since::Time(time);
        self
    }

    /// Only lines that were written within this time before now.
    pub fn since(mut self, ago: Duration) -> Self {
        self.since = Since::Ago(ago);
        self
    }

    /// The attempt before the current one of each container. Not together with [`Self::follow`].
    pub fn previous(mut self, previous: bool) -> Self {
        self.previous = previous;
        self
    }
}

/// The call, with what was delivered.
pub(crate) struct PodLogs {
    options: LogOptions,
    delivered: Delivered,
    /// When it was begun for the first time.
    begun: Option<Instant>,
    answered: bool,
}

impl PodLogs {
    pub(crate) fn new(options: LogOptions) -> Self {
        Self {
            options,
            delivered: Delivered::default(),
            begun: None,
            answered: false,
        }
    }

    /// Which lines to ask for: those that were asked for, or those from a little before the last delivered one on.
    fn scope(&self) -> (Option<i64>, Since) {
        let LogOptions {
            tail_lines, since, ..
        } = self.options;
        if let Some(time) = self.delivered.resume_from() {
            return (None, Since::Time(time));
        }
        match self.begun {
            // Nothing was there, so that what there is now was all written since. "The last so many lines" would leave
            // some of it out.
            Some(begun) if self.options.follow && tail_lines.is_some() && self.answered => {
                (None, Since::Ago(begun.elapsed()))
            }
            _ => (tail_lines, since),
        }
    }
}

impl Call for PodLogs {
    type Request = v1::GetPodLogsRequest;
    type Answer = v1::GetPodLogsResponse;
    type Item = LogLine;

    const METHOD: &'static str = "GetPodLogs";

    fn request(&mut self) -> Self::Request {
        let (tail_lines, since) = self.scope();
        self.begun.get_or_insert_with(Instant::now);
        self.delivered.begin_again();
        let LogOptions {
            name,
            namespace,
            container,
            follow,
            previous,
            ..
        } = self.options.clone();
        v1::GetPodLogsRequest {
            namespace,
            name,
            container,
            follow,
            tail_lines,
            since_time: match since {
                Since::Time(time) => Some(time.into()),
                _ => None,
            },
            since: match since {
                // Longer than protobuf's durations is longer than any log: the same as without a limit.
                Since::Ago(ago) => ago.try_into().ok(),
                _ => None,
            },
            previous,
        }
    }

    async fn open(
        channel: Channel,
        request: Request<Self::Request>,
    ) -> Result<Response<Streaming<Self::Answer>>, Status> {
        injection(channel).get_pod_logs(request).await
    }

    fn opened(&mut self) {
        self.answered = true;
    }

    fn take(&mut self, answer: Self::Answer) -> Vec<LogLine> {
        let mut lines: Vec<LogLine> = answer.lines.into_iter().map(LogLine::from).collect();
        lines.retain(|line| self.delivered.is_new(line));
        lines
    }

    fn ends(&self) -> bool {
        true
    }
}
