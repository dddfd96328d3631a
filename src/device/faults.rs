//! What goes wrong out of band: errors that wgpu raises, and the loss of a device.
//!
//! wgpu returns hardly any error. It gives an error to the innermost error scope of the thread, else to the device's
//! handler, and panics where there is neither. A device of our own has a handler that keeps the error until
//! [`Faults::check`] asks for it. A borrowed device has its owner's handlers or none, so there [`Faults::scoped`]
//! encloses whatever may raise an error: what we create, finish and submit. (What is recorded into an encoder raises
//! nothing before the encoder is finished.)
//!
//! A lost device raises nothing at all. Only its callback is told, and that of a borrowed device is its owner's.
//! Without the callback a loss is found out by [`Faults::is_lost`], which asks for something that a lost device refuses
//! on the spot.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::{Error, Result};

/// The faults of one wgpu device, shared by all that have a handle of it.
pub(super) struct Faults {
    device: wgpu::Device,
    lost: Mutex<Option<String>>,
    error: Mutex<Option<String>>,
    /// A buffer that is never mapped for long: see [`Faults::is_lost`].
    probe: Mutex<Option<wgpu::Buffer>>,
}

/// All devices in use. wgpu compares devices by a number that is unique within an instance only, so that a device of
/// one instance equals a device of another: we have to know them apart, since a buffer of the one must not be bound on
/// the other.
static KNOWN: Mutex<Vec<Weak<Faults>>> = Mutex::new(Vec::new());

impl Faults {
    /// Those of a device, the same for every handle of it.
    pub fn of(device: &wgpu::Device) -> Arc<Self> {
        let mut known = lock(&KNOWN);
        known.retain(|faults| faults.strong_count() > 0);
        let found = known.iter().filter_map(Weak::upgrade).find(|faults| is_same_device(&faults.device, device));
        found.unwrap_or_else(|| {
            let (lost, error, probe) = Default::default();
            let faults = Arc::new(Self { device: device.clone(), lost, error, probe });
            known.push(Arc::downgrade(&faults));
            faults
        })
    }

    /// Installs handlers that keep what is reported, on a device of our own.
    pub fn listen(self: &Arc<Self>) {
        let sink = Arc::downgrade(self);
        self.device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            if let Some(faults) = sink.upgrade() {
                keep_first(&faults.error, error.to_string());
            }
        }));
        let sink = Arc::downgrade(self);
        self.device.set_device_lost_callback(move |reason, message| {
            if let Some(faults) = sink.upgrade() {
                keep_first(&faults.lost, format!("{reason:?} {message}").trim_end().to_owned());
            }
        });
    }

    /// What has been reported, if anything. A loss stays; another error is reported once.
    pub fn check(&self) -> Result<()> {
        if let Some(reason) = lock(&self.lost).clone() {
            return Err(Error::DeviceLost { reason });
        }
        match lock(&self.error).take() {
            Some(message) => Err(Error::Gpu { message }),
            None => Ok(()),
        }
    }

    /// Runs what may raise errors within scopes, so that no handler hears of them. Costs some 0.3 us.
    pub fn scoped<R>(&self, run: impl FnOnce() -> R) -> (R, Option<wgpu::Error>) {
        let open = |filter| self.device.push_error_scope(filter);
        let internal = open(wgpu::ErrorFilter::Internal);
        let memory = open(wgpu::ErrorFilter::OutOfMemory);
        let validation = open(wgpu::ErrorFilter::Validation);
        let result = run();
        // In reverse order; outside a browser each resolves at once.
        let validation = pollster::block_on(validation.pop());
        let memory = pollster::block_on(memory.pop());
        let internal = pollster::block_on(internal.pop());
        (result, memory.or(validation).or(internal))
    }

    /// Whether the device is lost, or destroyed, by now.
    ///
    /// A lost device refuses at once to map a buffer, and another one does so later, or not at all if the buffer is
    /// unmapped before. So the question costs about a microsecond, and nothing is allocated on the device.
    pub fn is_lost(&self) -> bool {
        if lock(&self.lost).is_some() {
            return true;
        }
        let refused = Arc::new(AtomicBool::new(false));
        let answer = refused.clone();
        let (lost, _) = self.scoped(|| {
            let mut probe = lock(&self.probe);
            let probe = probe.get_or_insert_with(|| {
                self.device.create_buffer(&wgpu::BufferDescriptor {
                    label: Some("scall-gpu: is the device lost?"),
                    size: 4,
                    usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                    mapped_at_creation: false,
                })
            });
            probe.map_async(wgpu::MapMode::Read, .., move |mapped| answer.store(mapped.is_err(), Ordering::SeqCst));
            // Before the buffer is unmapped, which ends the request with an error on any device.
            let lost = refused.load(Ordering::SeqCst);
            probe.unmap();
            lost
        });
        if lost {
            keep_first(&self.lost, "it was lost or destroyed; why is known to its own callback alone".to_owned());
        }
        lost
    }

    /// An error in words, or the loss of the device if that is what stands behind it.
    pub fn explain(&self, message: String) -> Error {
        if self.is_lost()
            && let Err(lost) = self.check()
        {
            return lost;
        }
        Error::Gpu { message }
    }

    /// Polls the device, which runs the callbacks of what is done. True when all that was asked for is done, false when
    /// time ran out.
    pub fn poll(&self, how: wgpu::PollType) -> Result<bool> {
        // wgpu 30 panics where a driver answers a poll with the loss of the device.
        match catch_unwind(AssertUnwindSafe(|| self.device.poll(how))) {
            Ok(Ok(status)) => Ok(status.is_queue_empty() || status.wait_finished()),
            Ok(Err(wgpu::PollError::Timeout)) => Ok(false),
            Ok(Err(error)) => Err(self.explain(error.to_string())),
            Err(panic) => match message_of(&*panic) {
                Some(message) if message.starts_with("Error in Device::poll") => {
                    keep_first(&self.lost, message.to_owned());
                    self.check().map(|()| false)
                }
                // A panic of a callback is for the thread that polls.
                _ => resume_unwind(panic),
            },
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
}

/// Whether two handles are of one device: an error of the one is heard in a scope of the other. (The comparison by
/// number comes first, and decides almost always.)
fn is_same_device(known: &wgpu::Device, device: &wgpu::Device) -> bool {
    if known != device {
        return false;
    }
    let own = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let other = known.push_error_scope(wgpu::ErrorFilter::Validation);
    // A buffer for nothing is refused before anything is made.
    drop(device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("scall-gpu: which device is this?"),
        size: 4,
        usage: wgpu::BufferUsages::empty(),
        mapped_at_creation: false,
    }));
    let heard = pollster::block_on(other.pop()).is_some();
    let _ = pollster::block_on(own.pop());
    heard
}

fn keep_first(slot: &Mutex<Option<String>>, message: String) {
    lock(slot).get_or_insert(message);
}

/// The state behind these locks is valid after a panic elsewhere.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noop() -> wgpu::Device {
        wgpu::Device::noop(&wgpu::DeviceDescriptor::default()).0
    }

    #[test]
    fn devices_of_two_instances_are_told_apart() {
        let (first, second) = (noop(), noop());
        // What wgpu itself makes of them.
        assert_eq!(first, second);
        assert!(is_same_device(&first, &first.clone()) && !is_same_device(&first, &second));
        let (a, b, c) = (Faults::of(&first), Faults::of(&second), Faults::of(&first.clone()));
        assert!(Arc::ptr_eq(&a, &c) && !Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn a_loss_is_found_out_without_a_callback() {
        let device = noop();
        let faults = Faults::of(&device);
        assert!(!faults.is_lost() && !faults.is_lost());
        assert!(faults.poll(wgpu::PollType::Poll).is_ok());
        assert!(!faults.is_lost());
        device.destroy();
        assert!(faults.is_lost() && faults.is_lost());
        assert!(matches!(faults.check(), Err(Error::DeviceLost { .. })));
        assert!(matches!(faults.explain("other".to_owned()), Error::DeviceLost { .. }));
    }

    #[test]
    fn errors_stay_within_scopes() {
        let device = noop();
        let faults = Faults::of(&device);
        let descriptor = wgpu::BufferDescriptor {
            label: None,
            size: 4,
            usage: wgpu::BufferUsages::empty(),
            mapped_at_creation: false,
        };
        // Without the scope it would panic, as there is no handler.
        let (_, error) = faults.scoped(|| device.create_buffer(&descriptor));
        assert!(matches!(error, Some(wgpu::Error::Validation { .. })), "{error:?}");
        assert!(faults.check().is_ok());
    }
}
