use super::*;

fn signature(element: ElementType, shape: &[i64]) -> Signature {
    let dimension =
        |&length: &i64| usize::try_from(length).map_or(Dimension::Any, Dimension::Fixed);
    let shape: Vec<Dimension> = shape.iter().map(dimension).collect();
    Signature {
        inputs: vec![Port::tensor("image", element, shape)],
        outputs: vec![],
    }
}

fn input(
    shape: &[i64],
    transformers: Option<usize>,
) -> Option<(Layout, usize, Option<usize>, Option<usize>)> {
    let input = ImageInput::of(&signature(ElementType::F32, shape), transformers).ok()?;
    Some((input.layout, input.channels, input.height, input.width))
}

#[test]
fn the_layout_is_where_the_channels_are() {
    let (first, last) = (Layout::ChannelsFirst, Layout::ChannelsLast);
    for (shape, transformers, expected) in [
        (
            &[-1, 3, 224, 200][..],
            None,
            Some((first, 3, Some(224), Some(200))),
        ),
        (&[1, 1, 28, 28], None, Some((first, 1, Some(28), Some(28)))),
        (
            &[-1, 224, 200, 3],
            None,
            Some((last, 3, Some(224), Some(200))),
        ),
        (&[-1, -1, -1, 3], None, Some((last, 3, None, None))),
        (&[-1, 3, -1, -1], None, Some((first, 3, None, None))),
        (&[-1, -1, -1, -1], Some(3), Some((first, 3, None, None))),
        (
            &[-1, -1, 28, 28],
            Some(1),
            Some((first, 1, Some(28), Some(28))),
        ),
        (&[-1, 3, 8, 3], Some(3), Some((first, 3, Some(8), Some(3)))),
        (&[-1, 3, 8, 3], None, None),
        (&[-1, -1, -1, -1], None, None),
        (&[-1, -1, -1, -1], Some(5), None),
        (&[-1, 4, 224, 224], Some(3), None),
        (&[-1, 3, 0, 224], None, None),
        (&[-1, 3, 224], None, None),
        (&[-1, 3, 16, 224, 224], None, None),
    ] {
        assert_eq!(input(shape, transformers), expected, "{shape:?}");
    }
}

#[test]
fn the_input_has_floats_or_bytes_and_is_alone() {
    let shape = [-1, 3, 8, 8];
    for (element, expected) in [
        (ElementType::F32, Some(Pixel::F32)),
        (ElementType::F16, Some(Pixel::F16)),
        (ElementType::U8, Some(Pixel::U8)),
        (ElementType::F64, None),
        (ElementType::I64, None),
    ] {
        let input = ImageInput::of(&signature(element, &shape), None);
        assert_eq!(input.ok().map(|input| input.pixel), expected);
    }
    let mut two = signature(ElementType::F32, &shape);
    two.inputs.push(two.inputs[0].clone());
    assert_eq!(ImageInput::of(&two, None), Err(ImageModelError::Inputs(2)));
    two.inputs[1].optional = true;
    assert!(ImageInput::of(&two, None).is_ok());
}
